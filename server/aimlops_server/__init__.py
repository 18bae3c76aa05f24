"""The MCP server: what stands between an assistant and the AI&MLOps Platform API."""

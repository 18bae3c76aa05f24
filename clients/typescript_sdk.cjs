// Plays a story (see run.py) with the client of the TypeScript SDK, release 1 or 2, which the argument names.
const fs = require("node:fs");

const RELEASES = {
  1: () => {
    const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
    const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");
    const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const { ElicitRequestSchema } = require("@modelcontextprotocol/sdk/types.js");
    return { Client, StdioClientTransport, StreamableHTTPClientTransport, elicitation: ElicitRequestSchema };
  },
  2: () => ({
    ...require("@modelcontextprotocol/client"),
    ...require("@modelcontextprotocol/client/stdio"),
    elicitation: "elicitation/create",
  }),
};

async function play(sdk, { server, calls, answers }) {
  const client = new sdk.Client(
    { name: "story", version: "1" },
    // Release 2 negotiates only when told to; release 1 does not know the option.
    { capabilities: answers ? { elicitation: {} } : {}, versionNegotiation: { mode: "auto" } },
  );
  const asked = [];
  if (answers) {
    client.setRequestHandler(sdk.elicitation, async ({ params }) => {
      asked.push({ message: params.message, requestedSchema: params.requestedSchema });
      return answers[asked.length - 1];
    });
  }
  const transport = server.url
    ? new sdk.StreamableHTTPClientTransport(new URL(server.url))
    : new sdk.StdioClientTransport(server);
  let protocol = null;
  const tell = transport.setProtocolVersion?.bind(transport);
  transport.setProtocolVersion = (version) => {
    protocol = version;
    tell?.(version);
  };
  await client.connect(transport);
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  const results = [];
  for (const call of calls) results.push(await client.callTool(call));
  await client.close();
  return { protocol, tools, results, asked };
}

play(RELEASES[process.argv[2]](), JSON.parse(fs.readFileSync(0, "utf8"))).then((report) =>
  process.stdout.write(JSON.stringify(report)),
);

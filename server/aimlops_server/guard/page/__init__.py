"""A page on this machine where a person decides about a waiting plan.

The one package that knows Starlette and Jinja. It is imported when the page is first needed, never at start-up.
"""

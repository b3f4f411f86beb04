"""The review studio in a browser: a face of the project, beside the command line.

In: requests of people who have signed in. Out: pages; what people decided, in the project's ledger and studio.

    app.py      everything put together          doors.py     who is it, and may they come in here
    shell.py    headers, hosts, sizes            pages.py     one dataclass and one template a page
    one module a page: sign_in, overview, people, approvals, glass, audit

Covers: pages made on the server, forms that work without any script. Does not cover: what the pages are about
(store/ and the modules of the project). No page asks another host for anything.

A new page is a module with ``LINK`` and ``router``, and a line in ``app.PAGES``. Its routes say who may come in:

    @router.get("/overview")
    def show(request: Request, visit: Annotated[Visit, Allowed.to(Permission.SEE_OVERVIEW)]) -> Response: ...
"""

"""`scp-aimlops-mcp check` says in a terminal whether the server can work."""

import pytest
from aimlops_server.__main__ import main


@pytest.mark.usefixtures("own_logging")
def test_the_sandbox_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sandbox", "check"]) == 0

    *checks, _, _, _, _, _, _, _, _, _, verdict = capsys.readouterr().out.splitlines()
    names = ["keys", "network", "clock", "version", "accepted", "ske", "vpc", "security-group", "filestorage"]
    assert [line.split()[:2] for line in checks] == [
        ["ok", name] for name in [*names, "virtualserver", "loadbalancer", "dns", "quota"]
    ]
    assert verdict == "ready"


@pytest.mark.usefixtures("own_logging")
def test_without_keys_it_says_what_to_set_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--endpoint", "http://127.0.0.1:1", "check"]) == 1

    keys, mend, network, *_, verdict = capsys.readouterr().out.splitlines()
    assert keys.startswith("FAIL  keys     SCP_ACCESS_KEY and SCP_SECRET_KEY not set: requests cannot be signed.")
    assert mend.strip().startswith("→ ask the user to set SCP_ACCESS_KEY and SCP_SECRET_KEY")
    assert network.startswith("FAIL  network  No connection to http://127.0.0.1:1 ")
    assert verdict == "not ready: mend what failed"

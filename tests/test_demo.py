"""The demonstration tells its whole story by itself."""

import os
import re
import subprocess
import sys

from tests.generate import README


def test_the_scripted_demo_provisions_refuses_and_removes() -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "aimlops_server", "demo"],
        capture_output=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        env={**os.environ, "DEMO": "auto", "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"},
    )

    assert demo.returncode == 0, demo.stdout + demo.stderr
    told = re.findall(
        r"CREATE Enterprise platform|DELETE platform|is not the platform's exact name|"
        r'"state": "\w+"|(?<=→ )\w+_\w+(?= {)|"kind": "\w+"|^(?:subnet|size|[0-9]+ others)\b',
        demo.stdout,
        re.MULTILINE,
    )
    looked_up = [
        "kubernetes_versions",
        "vpcs",
        "subnets",
        "security_groups",
        "file_volumes",
        "server_types",
        "keypairs",
        "volume_types",
        "node_images",
    ]
    assert told == [
        "check_setup",
        *("list_images", "find_options", '"kind": "clusters"', "check_platform_name"),
        *("create_platform", "CREATE Enterprise platform"),
        *("wait_for_platform", '"state": "DEPLOYED"'),
        *("delete_platform", "DELETE platform", "is not the platform's exact name"),
        *("delete_platform", "DELETE platform"),
        *("wait_for_platform", '"state": "GONE"'),
        "list_images",
        *(told for kind in looked_up for told in ("find_options", f'"kind": "{kind}"')),
        *("create_platform", "subnet", "size", "13 others"),
        *("create_platform", "CREATE Enterprise platform"),
        *("wait_for_platform", '"state": "DEPLOYED"'),
    ]
    assert "only-for-the-sandbox" not in demo.stdout + demo.stderr
    shown = re.findall(r"```text\n(.*?)```", README.read_text("utf-8"), re.DOTALL)[0]
    assert [part for part in squeezed(shown).split("…") if part not in squeezed(demo.stdout)] == [], demo.stdout


def squeezed(text: str) -> str:
    """Without what depends on the terminal's width: the README shows the same, in parts."""
    return re.sub(r"[\s│╭╮╰╯─]+", "", text)

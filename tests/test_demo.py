"""The demonstration tells its whole story by itself."""

import os
import re
import subprocess
import sys


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
        r"CREATE Enterprise platform|DELETE platform|is not the platform's exact name|release_state \w+|"
        r"→ (?!release)\w+_\w+",
        demo.stdout,
    )
    assert told == [
        "→ list_images",
        "→ check_platform_name",
        "→ create_platform",
        "CREATE Enterprise platform",
        "release_state CREATING",
        "release_state DEPLOYED",
        "→ delete_platform",
        "DELETE platform",
        "is not the platform's exact name",
        "→ delete_platform",
        "DELETE platform",
        "release_state DELETING",
        "release_state gone",
    ]
    assert "only-for-the-sandbox" not in demo.stdout + demo.stderr

"""What writing out very many rules costs, beside reading the same YAML and writing the same bytes.

20 roles of 400 prefixes that speak by addresses are over a hundred thousand rules of AWS, more than any
account may hold. So the policy is rendered with quotas that do not exist.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from common import machine, run
from peers import FLOOR, write_ours

SIZE = 400
RUNS = 5
COMMAND = """
import sys
from pathlib import Path
from citrix_netpolicy import Deployment, compile_deployment
from citrix_netpolicy.identities import Identities
from citrix_netpolicy.readback import hold_against
from citrix_netpolicy.targets import Options, load_target
compilation = compile_deployment(Deployment.load(sys.argv[1]))
policy = compilation.policy.in_network("main")
options = Options("site", "main", rules_per_group=10**6)
output = load_target("aws", "aws").render(policy, options, Identities())
if sys.argv[3:]:
    hold_against(policy, output, "aws", "aws")
for name, text in output.files.items():
    Path(sys.argv[2], name).write_text(text)
print(output.rules)
"""


def main() -> None:
    """Print CPU seconds and the ratios to the floor."""
    print(f"{machine()}; {RUNS} runs each.\n")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        deployment = write_ours(folder, "aws", "cidr", SIZE)
        out = folder / "out"
        out.mkdir()
        ours = (sys.executable, "-c", COMMAND, str(deployment), str(out))
        rules = run(*ours).output.strip()
        size = sum(path.stat().st_size for path in out.iterdir())
        commands = {
            "floor": (sys.executable, "-c", FLOOR, str(deployment), str(folder / "floor"), str(size)),
            "rendered": ours,
            "rendered and read back": (*ours, "check"),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():
                done = run(*command)
                if done.code:
                    raise RuntimeError(done.output)
                times[name].append(done.seconds)
    print(f"{rules} rules of AWS, {size / 1e6:.0f} MB.\n")
    print("| command | median | lowest | highest | to the floor |\n|---|---|---|---|---|")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        ratio = statistics.median(one / base for one, base in zip(seconds, times["floor"], strict=True))
        print(f"| {name} | {median:.2f} | {min(seconds):.2f} | {max(seconds):.2f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()

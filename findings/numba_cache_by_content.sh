#!/bin/sh
# What makes Numba compile a function of @njit(cache=True) anew. One would think: the time of its file, as make does, so
# that touching the file is the remedy when a helper in another file was edited (which Numba has never noticed).
# So it is in 0.61. In 0.68 the cache is keyed by the content of the function's own file: touching does nothing, nor does
# installing the same file again, and the old numbers go on being computed until the file itself reads differently.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cat > "$folder/try.py" <<'P'
import os
import pathlib
import subprocess
import sys
import tempfile

import numba

folder = pathlib.Path(tempfile.mkdtemp(dir=sys.argv[1]))
helper, user = folder / "helper.py", folder / "user.py"
HELPER = "from numba import njit\n\n\n@njit\ndef factor():\n    return {}\n"
helper.write_text(HELPER.format(2.0))
user.write_text("from numba import njit\nfrom helper import factor\n\n\n@njit(cache=True)\ndef run(x):\n"
                "    return x * factor()\n\n\nprint(run(1.0))\n")


def run():
    env = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "user.py"], cwd=folder, env=env, capture_output=True, text=True, check=True)
    return float(done.stdout)


seen = [run()]
helper.write_text(HELPER.format(3.0))
seen.append(run())
os.utime(user, (2_000_000_000, 2_000_000_000))
seen.append(run())
user.write_text(user.read_text() + "# another line\n")
seen.append(run())
print(f"numba {numba.__version__}: at first {seen[0]}; helper edited {seen[1]}; file touched {seen[2]}; edited {seen[3]}")
sys.exit(seen != [float(x) for x in sys.argv[2:]])
P
status=0
try() { # version of numba, version of numpy, what is expected
    numba=$1 numpy=$2; shift 2
    python3 -m venv "$folder/venv-$numba"
    "$folder/venv-$numba/bin/pip" install -q "numba==$numba" "numpy==$numpy"
    "$folder/venv-$numba/bin/python" "$folder/try.py" "$folder" "$@" || status=1
}
try 0.61.2 2.2.6 2 2 3 3
try 0.68.1 2.4.6 2 2 2 3
[ $status = 0 ] && echo "as found" || echo "CHANGED"
exit $status

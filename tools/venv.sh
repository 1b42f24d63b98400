# Sourced by the other scripts: makes .venv when missing, or when what it was made from has changed.
# Usage: ensure_venv EXTRA   (an extra of pyproject.toml: test, dev, plot)
#        ensure_requirements FILE   (further packages, into the .venv that is there)

ensure_venv() {
    local extra="$1" stamp=".venv/.installed-$1" python="${PYTHON:-python3}"
    if [ ! -x .venv/bin/python ]; then
        echo "Making .venv ..."
        "$python" -m venv .venv
    fi
    if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ setup.py -nt "$stamp" ] \
        || [ protos/caffe.proto -nt "$stamp" ]; then
        echo "Installing segcaffe and what it needs into .venv (this can take minutes) ..."
        # On a terminal pip shows what it is doing, elsewhere only what goes wrong.
        local quiet="--quiet"
        if [ -t 1 ]; then quiet="--progress-bar=on"; fi
        .venv/bin/python -m pip install "$quiet" --disable-pip-version-check \
            -e ".[$extra]" --config-settings editable_mode=compat
        touch "$stamp"
    fi
}

ensure_requirements() {
    local stamp=".venv/.installed-$(basename "$1")"
    if [ ! -e "$stamp" ] || [ "$1" -nt "$stamp" ]; then
        echo "Installing what $1 names into .venv ..."
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$1"
        touch "$stamp"
    fi
}

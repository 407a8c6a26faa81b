"""Where the managers of tools put programs in a home: the true layouts, with small programs."""

from __future__ import annotations

from dataclasses import dataclass, field

SCRIPT = '#!/bin/sh\necho "%s runs"\n'


@dataclass(frozen=True)
class Layout:
    """Files and links below a home; `path` is what the tool's documentation adds to PATH."""

    path: str
    program: str
    files: tuple[str, ...] = ()  # programs and what they read
    links: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()  # never to be seen
    needs: str = ""  # another file that the program reads
    variables: dict[str, str] = field(default_factory=dict)


# A program reads the file that it `needs`, relative to itself as it really is.
LAYOUTS = {
    "nvm": Layout(
        ".nvm/versions/node/v22.1.0/bin", "nvmtool",
        files=(".nvm/versions/node/v22.1.0/lib/node_modules/nvmtool/cli.js", ".nvm/alias/default"),
        links={".nvm/versions/node/v22.1.0/bin/nvmtool": "../lib/node_modules/nvmtool/cli.js"},
        secrets=(".nvm/versions/node/v22.1.0/etc/npmrc",),
        needs=".nvm/alias/default", variables={"NVM_DIR": ".nvm"},
    ),
    "pyenv": Layout(
        ".pyenv/shims", "pyenvtool",
        files=(".pyenv/shims/pyenvtool", ".pyenv/versions/3.12.1/bin/python3.12"),
        secrets=(".pyenv/versions/3.12.1/pip.conf",),
        needs=".pyenv/versions/3.12.1/bin/python3.12", variables={"PYENV_ROOT": ".pyenv"},
    ),
    "asdf": Layout(
        ".asdf/shims", "asdftool",
        files=(".asdf/shims/asdftool", ".asdf/installs/tool/1/bin/x", ".tool-versions"),
        needs=".tool-versions",
    ),
    "mise": Layout(
        ".local/share/mise/shims", "misetool",
        files=(".local/share/mise/bin/mise", ".config/mise/config.toml"),
        links={".local/share/mise/shims/misetool": "../bin/mise"},
        needs=".config/mise/config.toml",
    ),
    "volta": Layout(
        ".volta/bin", "voltatool",
        files=(".volta/bin/volta-shim", ".volta/tools/user/platform.json"),
        links={".volta/bin/voltatool": "volta-shim"},
        needs=".volta/tools/user/platform.json", variables={"VOLTA_HOME": ".volta"},
    ),
    "fnm": Layout(
        ".local/state/fnm_multishells/1_2/bin", "fnmtool",
        files=(".local/share/fnm/node-versions/v22/installation/bin/fnmtool",),
        links={".local/state/fnm_multishells/1_2":
               "../../share/fnm/node-versions/v22/installation"},
    ),
    "cargo": Layout(
        ".cargo/bin", "cargotool",
        files=(".cargo/bin/rustup", ".rustup/toolchains/stable/bin/rustc", ".cargo/config.toml"),
        links={".cargo/bin/cargotool": "rustup"},
        secrets=(".cargo/credentials.toml", ".cargo/credentials"),
        needs=".rustup/toolchains/stable/bin/rustc", variables={"CARGO_HOME": ".cargo"},
    ),
    "go": Layout("go/bin", "gotool", files=("go/bin/gotool",), variables={"GOPATH": "go"},
                 secrets=("go/src/other/.env",)),
    "a Go of one's own": Layout("sdk/go1.22/bin", "go122", needs="sdk/go1.22/src/fmt/print.go",
                 files=("sdk/go1.22/bin/go122", "sdk/go1.22/pkg/tool/vet",
                        "sdk/go1.22/src/fmt/print.go")),
    "bun": Layout(".bun/bin", "buntool", files=(".bun/bin/buntool",)),
    "deno": Layout(".deno/bin", "denotool", files=(".deno/bin/denotool",)),
    "pipx": Layout(
        ".local/bin", "pipxtool",
        files=(".local/share/pipx/venvs/pipxtool/bin/pipxtool",
               "interpreters/3.12/bin/python3.12", "interpreters/3.12/lib/python3.12/os.py"),
        links={".local/bin/pipxtool": "../share/pipx/venvs/pipxtool/bin/pipxtool",
               ".local/share/pipx/venvs/pipxtool/bin/python":
               "../../../../../../interpreters/3.12/bin/python3.12"},
        needs="interpreters/3.12/lib/python3.12/os.py",
    ),
    "uv": Layout(
        ".local/bin", "uvtool",
        files=(".local/share/uv/tools/uvtool/bin/uvtool",
               ".local/share/uv/python/cpython-3.12/bin/python3.12"),
        links={".local/bin/uvtool": "../share/uv/tools/uvtool/bin/uvtool"},
        secrets=(".local/share/uv/credentials/credentials.toml",),
        needs=".local/share/uv/python/cpython-3.12/bin/python3.12",
    ),
    "pip --user": Layout(
        ".local/bin", "usertool",
        files=(".local/bin/usertool", ".local/lib/python3.11/site-packages/usertool.py"),
        secrets=(".local/share/keyrings/login.keyring",),
        needs=".local/lib/python3.11/site-packages/usertool.py",
    ),
    "conda": Layout(
        "miniconda3/bin", "condatool",
        files=("miniconda3/bin/condatool", "miniconda3/conda-meta/history"),
        secrets=("miniconda3/.condarc",), needs="miniconda3/conda-meta/history",
    ),
    "SDKMAN": Layout(
        ".sdkman/candidates/java/current/bin", "javatool",
        files=(".sdkman/candidates/java/21/bin/javatool", ".sdkman/candidates/java/21/lib/modules"),
        links={".sdkman/candidates/java/current": "21"},
        needs=".sdkman/candidates/java/21/lib/modules", variables={"SDKMAN_DIR": ".sdkman"},
    ),
    "Homebrew": Layout(
        ".linuxbrew/bin", "brewtool",
        files=(".linuxbrew/Cellar/brewtool/1/bin/brewtool", ".linuxbrew/lib/libx.so"),
        links={".linuxbrew/bin/brewtool": "../Cellar/brewtool/1/bin/brewtool"},
        secrets=(".linuxbrew/etc/npmrc",), needs=".linuxbrew/lib/libx.so",
    ),
    "npm's prefix": Layout(
        ".npm-global/bin", "npmtool",
        files=(".npm-global/lib/node_modules/npmtool/cli.js",),
        links={".npm-global/bin/npmtool": "../lib/node_modules/npmtool/cli.js"},
        secrets=(".npm-global/etc/npmrc",),
    ),
    "a link to the newest": Layout(
        "opt/newest/bin", "opttool",
        files=("opt/tool-1.2/bin/opttool", "opt/tool-1.2/lib/data"),
        links={"opt/newest": "tool-1.2"}, needs="opt/newest/lib/data",
    ),
    "a virtual environment elsewhere": Layout(
        "environments/x/bin", "venvtool",
        files=("environments/x/bin/venvtool", "environments/x/pyvenv.cfg"),
        needs="environments/x/pyvenv.cfg", variables={"VIRTUAL_ENV": "environments/x"},
    ),
    "one's own programs": Layout(
        "bin", "owntool", files=("src/scripts/owntool.sh",),
        links={"bin/owntool": "../src/scripts/owntool.sh"}, secrets=("bin/.env",),
    ),
}  # fmt: skip


def lay_out(human) -> str:
    """Make all of it in the human's home; returns the PATH that goes with it."""
    for one in LAYOUTS.values():
        for name in one.files:
            text = SCRIPT % one.program
            if one.needs:
                text += f'read -r line < "$HOME/{one.needs}" && echo "{one.program} reads"\n'
            human.write(name, text, mode=0o755)
        for name in one.secrets:
            human.write(name, f"secret of {one.program}\n", mode=0o600)
        for link, target in one.links.items():
            human.run("mkdir", "-p", (human.home / link).parent)
            human.run("ln", "-s", target, human.home / link)
    names = dict.fromkeys(f"{human.home}/{one.path}" for one in LAYOUTS.values())
    return ":".join((*names, human.environment["PATH"]))


def variables(human) -> dict[str, str]:
    """The variables that the tools' documentation has people set."""
    return {
        name: f"{human.home}/{place}"
        for one in LAYOUTS.values()
        for name, place in one.variables.items()
    }

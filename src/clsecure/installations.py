"""How tools are installed below a home: one record each, for managers of versions and the like.

Paths are relative to the home, or to the root of the installation. Sources: the documentation of
each tool, on where it keeps its files and which variables say otherwise.
"""

from __future__ import annotations

from typing import NamedTuple


class Installation(NamedTuple):
    """One tool that installs tools.

    Of its root `shown` is exposed, or all of it, but `masked`. `beside` are settings elsewhere in
    the home, without which it does not know what to run; `follow` are links that lead to another
    installation. `*` stands for any one name.
    """

    name: str
    roots: tuple[str, ...]
    variable: str = ""  # names the root, where it is another one
    shown: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()  # names of others


class Cache(NamedTuple):
    """A directory of downloads; `variable` names it, or what `below` is in."""

    name: str
    place: str
    variable: str = ""
    below: str = ""


_NPMRC = "etc/npmrc"  # npm-config(1): the global one, which may hold tokens
_PIP = "pip.conf"  # pip's, of one interpreter, which may hold passwords of indexes
_VERSIONS = (".tool-versions", ".asdfrc")

INSTALLATIONS: tuple[Installation, ...] = (
    Installation("nvm", (".nvm", ".config/nvm"), "NVM_DIR", masked=(f"versions/node/*/{_NPMRC}",)),
    Installation("fnm", (".local/share/fnm", ".fnm"), "FNM_DIR",
                 masked=(f"node-versions/*/installation/{_NPMRC}",)),
    Installation("volta", (".volta",), "VOLTA_HOME", masked=(f"tools/image/node/*/{_NPMRC}",)),
    Installation("nodenv", (".nodenv",), "NODENV_ROOT", masked=(f"versions/*/{_NPMRC}",)),
    Installation("n", ("n",), "N_PREFIX", shown=("bin", "lib", "include")),
    Installation("npm", (".npm-global", ".npm-packages"), shown=("bin", "lib")),
    Installation("pnpm", (".local/share/pnpm",), "PNPM_HOME"),
    Installation("yarn", (".config/yarn/global", ".yarn"), shown=("node_modules", "bin")),
    Installation("bun", (".bun",), "BUN_INSTALL", shown=("bin", "install/global")),
    Installation("deno", (".deno",), "DENO_INSTALL"),
    Installation("pyenv", (".pyenv",), "PYENV_ROOT", masked=(f"versions/*/{_PIP}",)),
    Installation("uv", (".local/share/uv",), shown=("python", "tools"),
                 masked=(f"python/*/{_PIP}", f"tools/*/{_PIP}")),
    Installation("pipx", (".local/share/pipx", ".local/pipx"), "PIPX_HOME",
                 shown=("venvs", "shared", "py"), masked=(f"venvs/*/{_PIP}",),
                 follow=("venvs/*/bin/python", "shared/bin/python")),
    Installation("conda", ("miniconda3", "miniforge3", "mambaforge", "anaconda3", "micromamba"),
                 masked=(".condarc", _PIP, "envs/*/pip.conf")),
    Installation("asdf", (".asdf",), "ASDF_DATA_DIR", beside=_VERSIONS),
    Installation("mise", (".local/share/mise",), "MISE_DATA_DIR",
                 beside=(*_VERSIONS, ".config/mise/config.toml")),
    Installation("cargo", (".cargo",), "CARGO_HOME", shown=("bin", "env"),
                 beside=(".cargo/config.toml", ".cargo/config"), needs=("rustup",)),
    Installation("rustup", (".rustup",), "RUSTUP_HOME"),
    Installation("go", ("go",), "GOPATH", shown=("bin",)),
    Installation("SDKMAN", (".sdkman",), "SDKMAN_DIR"),
    Installation("jenv", (".jenv",)),
    Installation("coursier", (".local/share/coursier",), shown=("bin",)),
    Installation("rbenv", (".rbenv",), "RBENV_ROOT"),
    Installation("rvm", (".rvm",), "rvm_path"),
    Installation("gem", (".gem", ".local/share/gem"), shown=("ruby",)),
    Installation("composer", (".config/composer", ".composer"), shown=("vendor",)),
    Installation("dotnet", (".dotnet",), "DOTNET_ROOT"),
    Installation("ghcup", (".ghcup",), shown=("bin", "ghc", "hls", "env")),
    Installation("cabal", (".cabal",), shown=("bin", "store")),
    Installation("opam", (".opam",), "OPAMROOT"),
    Installation("juliaup", (".juliaup", ".julia/juliaup")),
    Installation("elan", (".elan",), "ELAN_HOME"),
    Installation("foundry", (".foundry",), shown=("bin", "versions")),
    Installation("Homebrew", (".linuxbrew", "/home/linuxbrew/.linuxbrew"), "HOMEBREW_PREFIX",
                 masked=(_NPMRC, "etc/gitconfig")),
    Installation("claude", (".local/share/claude", ".claude/local"), shown=("versions",
                 "node_modules", "claude")),
    Installation("opencode", (".opencode",), shown=("bin",)),
    # Programs of a user's own: pip install --user, npm with this prefix, links of other tools.
    Installation("~/.local", (".local",), shown=("bin", "lib", "libexec")),
)  # fmt: skip

CACHES: tuple[Cache, ...] = (
    Cache("npm", ".npm/_cacache", "npm_config_cache", "_cacache"),
    Cache("npx", ".npm/_npx", "npm_config_cache", "_npx"),
    Cache("pip", ".cache/pip", "PIP_CACHE_DIR"),
    Cache("uv", ".cache/uv", "UV_CACHE_DIR"),
    Cache("cargo", ".cargo/registry", "CARGO_HOME", "registry"),
    Cache("cargo git", ".cargo/git", "CARGO_HOME", "git"),
    Cache("go modules", "go/pkg/mod", "GOPATH", "pkg/mod"),
    Cache("go build", ".cache/go-build", "GOCACHE"),
    Cache("yarn", ".cache/yarn"),
    Cache("pnpm", ".local/share/pnpm/store"),
    Cache("bun", ".bun/install/cache", "BUN_INSTALL", "install/cache"),
    Cache("deno", ".cache/deno", "DENO_DIR"),
    Cache("gradle", ".gradle/caches", "GRADLE_USER_HOME", "caches"),
    Cache("maven", ".m2/repository"),
    Cache("node-gyp", ".cache/node-gyp"),
    Cache("pre-commit", ".cache/pre-commit", "PRE_COMMIT_HOME"),
    Cache("playwright", ".cache/ms-playwright", "PLAYWRIGHT_BROWSERS_PATH"),
)

# Known places of credentials in a home: never exposed, and hidden in what is exposed around them.
CREDENTIALS: tuple[str, ...] = (
    *(".ssh", ".gnupg", ".pki", ".password-store", ".local/share/keyrings"),
    *(".netrc", ".git-credentials", ".config/git/credentials", ".config/gh", ".config/glab-cli"),
    *(".config/hub", ".npmrc", ".yarnrc.yml", ".bunfig.toml", ".pypirc", ".pip", ".config/pip"),
    *(".config/uv", ".local/share/uv/credentials", ".condarc", ".cargo/credentials"),
    *(".cargo/credentials.toml", ".gem/credentials", ".local/share/gem/credentials", ".bundle"),
    *(".config/composer/auth.json", ".composer/auth.json", ".cabal/config", ".nuget/NuGet"),
    *(".m2/settings.xml", ".m2/settings-security.xml", ".gradle/gradle.properties", ".sbt"),
    *(".aws", ".azure", ".config/gcloud", ".boto", ".oci", ".kube", ".docker"),
    *(".config/containers", ".local/share/kwalletd"),
    *(".config/doctl", ".config/hcloud", ".config/rclone", ".config/op", ".config/sops", ".age"),
    *(".terraformrc", ".terraform.d", ".vault-token", ".config/vercel"),
    *(".config/netlify", ".fly"),
    *(".heroku", ".databrickscfg", ".snowflake", ".pgpass", ".my.cnf", ".cache/huggingface/token"),
    *(".claude.json", ".claude/.credentials.json", ".codex", ".gemini", ".config/amp"),
    *(".local/share/amp", ".local/share/opencode", ".config/github-copilot", ".config/clsecure"),
    *(".mozilla", ".thunderbird", ".config/google-chrome", ".config/chromium", ".config/Code"),
    *(".bash_history", ".zsh_history", ".python_history", ".node_repl_history", ".psql_history"),
)  # fmt: skip

# Variables that say which version, or where, and that hold nothing secret: the first as they are,
# the second where the box has that path.
CHOICES: tuple[str, ...] = (
    *("PYENV_VERSION", "NODENV_VERSION", "RBENV_VERSION", "RUSTUP_TOOLCHAIN", "CONDA_DEFAULT_ENV"),
    *("GOTOOLCHAIN", "UV_PYTHON", "VIRTUAL_ENV_PROMPT"),
)
PLACES: tuple[str, ...] = (
    *("VIRTUAL_ENV", "CONDA_PREFIX", "JAVA_HOME", "GOROOT", "GOBIN", "NVM_BIN", "NVM_INC"),
    *("HOMEBREW_CELLAR", "HOMEBREW_REPOSITORY", "ANDROID_HOME", "ANDROID_SDK_ROOT", "M2_HOME"),
    *(
        "MAVEN_HOME",
        "GRADLE_HOME",
        "TERMINFO",
        "UV_TOOL_DIR",
        "UV_PYTHON_INSTALL_DIR",
        "npm_config_cache",
    ),
    *(cache.variable for cache in CACHES if cache.variable),
    *(one.variable for one in INSTALLATIONS if one.variable),
)

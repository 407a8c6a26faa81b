"""Every command once: name, what it does, examples, and the module that does it."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """One command.

    `passes` names the words behind `--` that it hands on; `operands` are the words that it takes
    itself, at most one of them, and `values` name what must follow some of those; `flags` are its
    old names. `examples` are (line, what it does).
    """

    name: str
    summary: str
    description: str
    examples: tuple[tuple[str, str], ...]
    flags: tuple[str, ...] = ()
    passes: str = ""
    operands: tuple[str, ...] = ()
    needs_operand: bool = False
    values: tuple[tuple[str, str], ...] = ()  # operand to the name of its value; [NAME]: or none

    @property
    def usage(self) -> str:
        """The form of its command line."""
        named = dict(self.values)
        operands = "|".join(
            f"{each} {named[each]}" if each in named else each for each in self.operands
        )
        parts = ["clsecure", self.name, "[OPTIONS]"]
        if operands:
            parts.append(operands if self.needs_operand else f"[{operands}]")
        if self.passes:
            parts.append(f"-- {self.passes}" if self.name == "exec" else f"[-- {self.passes}]")
        return " ".join(parts)


_ALL = (
    Command(
        "run",
        "run the agent in this project (the default)",
        "Runs the coding agent with every permission prompt off, as a Linux user made for this\n"
        "project, in a box: of your files and your network it reaches only what you allow. It\n"
        "works on a copy-on-write view of your project; at the end you choose what becomes of its\n"
        "work: import it to a new branch, look at the diff, keep it for later, or discard it.",
        (
            ("clsecure run", "the same as `clsecure`"),
            ('clsecure run -- -p "fix the test"', "words after -- go to the agent"),
            ("clsecure run --dry-run", "print every mount, user and command; change nothing"),
        ),
        passes="ARGS…",
    ),
    Command(
        "shell",
        "open a shell in the box, as the worker",
        "Opens a shell where the agent would run: same user, same files, same network.",
        (("clsecure shell", "look around; `exit` leaves the box"),),
        flags=("--shell",),
    ),
    Command(
        "exec",
        "run one command in the box",
        "Runs a command where the agent would run, and ends with its exit code.",
        (
            ("clsecure exec -- make test", "the project's tests, in the box"),
            ("clsecure exec -s login -- git log -3", "in the session called login"),
        ),
        passes="CMD…",
    ),
    Command(
        "list",
        "list your sessions",
        "Lists your sessions in all projects: whether they run or are kept, and what they hold.",
        (("clsecure list --json", "for scripts"),),
        flags=("-l", "--list"),
    ),
    Command(
        "show",
        "show what a session holds",
        "Shows a session's commits, uncommitted changes, and what would run on the host.",
        (("clsecure show -s login", "what the session called login did"),),
    ),
    Command(
        "diff",
        "show a session's work as a diff",
        "Shows the difference between the commit at which the session began and its work.",
        (("clsecure diff | less -R", "read it page by page"),),
    ),
    Command(
        "import",
        "bring a session's work home as a branch",
        "Makes a new branch of a session's work. Your working tree, index and checked-out branch\n"
        "stay as they are.",
        (
            ("clsecure import", "asks for the branch's name"),
            ("clsecure import --branch fix-login --yes", "asks nothing"),
            ("clsecure import --take-settings 'commands/*'", "and commands that the agent wrote"),
        ),
    ),
    Command(
        "discard",
        "throw a session's work away",
        "Discards the kept work of a session, after a question.",
        (("clsecure discard -s login", "forget what the session called login did"),),
    ),
    Command(
        "cleanup",
        "end a session and remove its worker",
        "Runs the cleanup hook in the box, ends every process of the worker, and removes the\n"
        "worker: user, group, home and state.",
        (
            ("clsecure cleanup", "the worker of this project"),
            ("clsecure cleanup --all", "the workers of all your projects"),
            ("clsecure --cleanup-all", "the same, as it was once called"),
        ),
        flags=("--cleanup",),
    ),
    Command(
        "info",
        "show how a session would be built here",
        "Shows the worker, the mode and engine in use, the workspace, and what the network passes.",
        (("clsecure info --mode user", "how it would be in user mode"),),
        flags=("--info",),
    ),
    Command(
        "net",
        "show what reached the network, and change what may",
        "Shows the last decisions on this project's connections. What is allowed or denied here\n"
        "counts in the running session at once; --session names another one than the default.",
        (
            ("clsecure net --blocked", "what was blocked, and why"),
            ("clsecure net --follow", "what happens from now on"),
            ("clsecure net allow docs.example.org", "for the running session"),
            ("clsecure net allow docs.example.org --always", "and in your configuration"),
            ("clsecure net publish 3000", "the box's port 3000 at 127.0.0.1:3000"),
            ("clsecure net status", "one line, for a prompt or a status bar"),
            ("clsecure net verify-log", "was the log changed by somebody else?"),
        ),
        operands=("allow", "deny", "publish", "status", "verify-log"),
        values=(("allow", "HOST"), ("deny", "HOST"), ("publish", "PORT")),
    ),
    Command(
        "image",
        "pull, build, list and remove images for container mode",
        "Images are file systems for `--mode container`. They are fetched by skopeo, with your\n"
        "credentials, and kept by root, unpacked once and for you alone: a session cannot change\n"
        "them. REF is HOST/NAME:TAG, oci-archive:PATH or docker-archive:PATH; IMAGE is a REF or a\n"
        "digest, which may be cut short. `prune` removes what no session uses. `build` makes one\n"
        "of the project's .clsecure/Containerfile, or of FILE, after it has shown it to you: in a\n"
        "box with the network of a session. `image = build` in your configuration means that one.\n"
        "`build agent` makes one with git, ripgrep, python, node and the newest agent, on a node\n"
        "image or another of Debian's kind (--base): for `image = agent`.",
        (
            ("clsecure image", "what there is, and how large it is"),
            ("clsecure image pull debian:12", "from the registry for names without a host"),
            ("clsecure image pull registry.example.org/tools/agent:3", "from your own"),
            ("clsecure image pull oci-archive:agent.tar", "from a file, without a registry"),
            ("clsecure image build", "the project's own, after you have read its file"),
            ("clsecure image build agent", "ready for use, with the agent in it"),
            ("clsecure image build --allow @apt --yes", "with Debian's packages in reach"),
            ("clsecure image remove debian:12", "with all names that it has"),
            ("clsecure image prune --yes", "all that no session uses, without a question"),
        ),
        operands=("list", "pull", "build", "remove", "prune"),
        values=(("pull", "REF"), ("build", "[FILE | agent]"), ("remove", "IMAGE")),
    ),
    Command(
        "config",
        "show every setting and where it was set",
        "Shows each setting, its value, and the file and line, variable or flag that set it.\n"
        "`config trust` allows the project's configuration file, as it is now, to lower the mode.",
        (
            ("clsecure config", "what counts in this directory"),
            ("clsecure config --json", "for scripts"),
            ("clsecure config trust", "accept the mode that the project asks for"),
        ),
        flags=("--config",),
        operands=("trust",),
    ),
    Command(
        "setup",
        "install the helper, so that sudo asks no password",
        "Installs the helper for root in /usr/lib/clsecure, and a sudo rule that lets you\n"
        "start exactly that program, without arguments and without a password.",
        (
            ("clsecure setup", "once, and again after an upgrade"),
            ("clsecure setup --for alice", "for a user who has no sudo right"),
            ("clsecure setup --remove", "undo it"),
        ),
    ),
    Command(
        "doctor",
        "say what this host has and lacks",
        "Looks for everything that the modes need, and names the command that mends what is amiss.",
        (("clsecure doctor", "before the first run"),),
    ),
    Command(
        "demo",
        "see the whole story in ten seconds",
        "Runs a scripted agent in a temporary repository: it makes a useful commit, tries a few\n"
        "bad things, and its work is imported. No account is needed.",
        (("clsecure demo", "nothing of yours is touched"),),
    ),
    Command(
        "completion",
        "print a completion script for your shell",
        "Prints what makes your shell complete clsecure's commands and options.",
        (
            ('eval "$(clsecure completion bash)"', "in ~/.bashrc"),
            ("clsecure completion zsh > ~/.zfunc/_clsecure", "in a directory of $fpath"),
        ),
        operands=("bash", "zsh", "tcsh"),
        needs_operand=True,
    ),
)

COMMANDS = {command.name: command for command in _ALL}

// `ripstop completion bash|zsh|fish`: a script for the shell, made from the commands as they are.
import { Argument, Command } from "commander";
import type { CommandContext, OptionsCommand } from "./command.js";
import { examples } from "./help.js";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

/** One command with what may follow it. */
export interface Completable {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly string[];
  readonly subcommands: readonly string[];
}

export const completionCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext): void {
    program
      .command("completion")
      .description("print a completion script for bash, zsh or fish")
      .addArgument(new Argument("<shell>", "which shell").choices(SHELLS))
      .addHelpText(
        "after",
        examples(
          ["ripstop completion bash > /etc/bash_completion.d/ripstop", "for all users of bash"],
          ["ripstop completion zsh > /usr/local/share/zsh/site-functions/_ripstop", "for all users of zsh"],
          ["ripstop completion fish > /etc/fish/completions/ripstop.fish", "for all users of fish"],
        ),
      )
      .action(async (shell: Shell) => context.out(SCRIPTS[shell](await completables(context))));
  },
};

/** Loads every command, which only this one needs. */
export async function completables(context: CommandContext): Promise<readonly Completable[]> {
  const { commands } = await import("./commands.js");
  const { FLANNEL_FLAGS, RIPSTOP_FLAGS } = await import("../config/flags.js");
  const all: Completable[] = [];
  for (const { name, summary, hidden, load } of commands) {
    if (hidden === true) continue;
    const command = await load();
    if (command.kind === "raw") {
      const flags = [...FLANNEL_FLAGS, ...RIPSTOP_FLAGS].map((flag) => `--${flag.name}`);
      all.push({ name, summary, options: flags, subcommands: [] });
      continue;
    }
    const program = new Command("ripstop");
    await command.register(program, context, () => undefined);
    const made = program.commands[0];
    const longs = (one: Command) => one.options.flatMap(({ long }) => (long == null ? [] : [long]));
    const below = made?.commands ?? [];
    const options = [...new Set([...(made === undefined ? [] : longs(made)), ...below.flatMap(longs), "--help"])];
    all.push({ name, summary, options, subcommands: below.map((one) => one.name()) });
  }
  return all;
}

const SCRIPTS: Readonly<Record<Shell, (commands: readonly Completable[]) => string>> = {
  bash: (commands) => `# bash completion for ripstop
_ripstop() {
  local word="\${COMP_WORDS[COMP_CWORD]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${commands.map(({ name }) => name).join(" ")} help --version --help"
  else
    case "\${COMP_WORDS[1]}" in
${commands.map(({ name, options, subcommands }) => `      ${name}) words="${[...subcommands, ...options].join(" ")}" ;;`).join("\n")}
      help) words="${commands.map(({ name }) => name).join(" ")}" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
}
complete -F _ripstop ripstop
`,
  zsh: (commands) => `#compdef ripstop
# zsh completion for ripstop
local -a commands words
commands=(${commands.map(({ name, summary }) => `'${name}:${summary.replaceAll("'", "").replaceAll(":", "")}'`).join(" ")})
if (( CURRENT == 2 )); then
  _describe 'command' commands
else
  case $words[2] in
${commands.map(({ name, options, subcommands }) => `    ${name}) compadd -- ${[...subcommands, ...options].join(" ")}; _files ;;`).join("\n")}
  esac
fi
`,
  fish: (commands) => `# fish completion for ripstop
${commands
  .flatMap(({ name, summary, options, subcommands }) => [
    `complete -c ripstop -n __fish_use_subcommand -a ${name} -d '${summary.replaceAll("'", "")}'`,
    ...options.map((option) => `complete -c ripstop -n '__fish_seen_subcommand_from ${name}' -l ${option.slice(2)}`),
    ...subcommands.map((one) => `complete -c ripstop -n '__fish_seen_subcommand_from ${name}' -a ${one}`),
  ])
  .join("\n")}
`,
};

// What a command of the CLI is given and what it must offer. One file per command; program.ts lists them.
import type { Command } from "commander";

/** The world a command may touch; tests pass their own. */
export interface CommandContext {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Aborted by the first SIGINT or SIGTERM; long commands end in order when it is. */
  readonly signal: AbortSignal;
}

/** A command with commander's options: `register` adds it to the program. Its action may return an exit code. */
export interface OptionsCommand {
  readonly kind: "options";
  register(program: Command, context: CommandContext, finish: (exitCode: number) => void): void;
}

/** A command that reads its arguments itself (Go-style flags): it gets them untouched and answers with an exit code. */
export interface RawCommand {
  readonly kind: "raw";
  readonly name: string;
  readonly summary: string;
  /** Not listed in the help: an alias that another program's name stands for. */
  readonly hidden?: boolean;
  run(args: readonly string[], context: CommandContext): Promise<number>;
}

export type CliCommand = OptionsCommand | RawCommand;

// What a command of the CLI is given and what it must offer. One file per command; program.ts lists them.
import type { Command } from "commander";

/** The world a command may touch; tests pass their own. */
export interface CommandContext {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Standard output for what is not text. */
  readonly outBytes: (bytes: Uint8Array) => void;
  /** Whether standard output is a terminal, and its colours are wanted (NO_COLOR is not set). */
  readonly terminal: boolean;
  readonly colors: boolean;
  /** Aborted by the first SIGINT or SIGTERM; long commands end in order when it is. */
  readonly signal: AbortSignal;
}

/** A command with commander's options: `register` adds it to the program. Its action may return an exit code. */
export interface OptionsCommand {
  readonly kind: "options";
  register(program: Command, context: CommandContext, finish: (exitCode: number) => void): void | Promise<void>;
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

/** A command whose modules are loaded only when it runs: `ripstop status` must not wait for what `lab` imports. */
export interface LazyCommand {
  readonly kind: "lazy";
  readonly name: string;
  readonly summary: string;
  readonly hidden?: boolean;
  load(): Promise<OptionsCommand | RawCommand>;
  /** A way without commander, for command lines it understands; null: go the usual way, which also words the errors. */
  quick?(args: readonly string[], context: CommandContext): Promise<number | null>;
}

export type CliCommand = OptionsCommand | RawCommand | LazyCommand;

// The part of a command's help that commander does not make: examples, each a command line and what it is for. Pure.

/** For addHelpText("after", ...). The command lines are run by tests: no placeholders. */
export function examples(...lines: ReadonlyArray<readonly [command: string, purpose: string]>): string {
  return `\nExamples:\n${lines.map(([command, purpose]) => `  ${command}\n      ${purpose}\n`).join("")}`;
}

// Whether output may be coloured: only on a terminal, and not where the user said no (no-color.org). Reads the environment.

export function wantsColors(isTerminal: boolean, environment: NodeJS.ProcessEnv = process.env): boolean {
  return isTerminal && (environment["NO_COLOR"] ?? "") === "" && environment["TERM"] !== "dumb";
}

// An extension command as flannel reads it since CVE-2026-32241: split at white space, variables put into each word, no shell.
// Quotes, pipes and semicolons are ordinary characters; a value with spaces stays one argument. Pure.

const VARIABLE = /\$(?:\{([^}]*)\}|(\w+))/g;

/** Unknown variables are empty. */
export function commandLine(text: string, variables: Readonly<Record<string, string>>): string[] {
  const words = text.split(/\s+/).filter((word) => word !== "");
  return words.map((word) =>
    word.replaceAll(VARIABLE, (_all, braced: string | undefined, bare: string | undefined) => {
      const name = braced ?? bare ?? "";
      return Object.hasOwn(variables, name) ? (variables[name] ?? "") : "";
    }),
  );
}

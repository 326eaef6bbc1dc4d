// The environment of this process, for what hands it on to others: the extension backend's commands. Reads, never writes.

/** Only variables that are set. */
export function processEnvironment(environment: NodeJS.ProcessEnv = process.env): Readonly<Record<string, string>> {
  const set = Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(set);
}

// Where the agent of this machine keeps its files, for the commands that ask it: where its own flags put them, which are also read
// from the variables that the agent reads (an empty one counts as absent).

export const USUAL = {
  "run-dir": "/run/ripstop",
  "state-dir": "/var/lib/ripstop",
  "subnet-file": "/run/flannel/subnet.env",
} as const;
const VARIABLE = {
  "run-dir": "FLANNELD_RUN_DIR",
  "state-dir": "FLANNELD_STATE_DIR",
  "subnet-file": "FLANNELD_SUBNET_FILE",
} as const;

export type AgentFolders = Readonly<Record<keyof typeof USUAL, string>>;

export function agentFolder(flag: keyof AgentFolders, environment: NodeJS.ProcessEnv = process.env): string {
  return environment[VARIABLE[flag]] || USUAL[flag];
}

/** The variables with which commands find an agent whose files lie elsewhere. */
export function variablesFor(folders: AgentFolders): Readonly<Record<string, string>> {
  const flags = Object.keys(VARIABLE) as (keyof AgentFolders)[];
  return Object.fromEntries(flags.map((flag) => [VARIABLE[flag], folders[flag]]));
}

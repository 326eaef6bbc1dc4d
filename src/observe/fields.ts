// The glossary of log fields: every structured log line draws its keys from here, so that a search finds all of them.
// docs/operations.md lists the same names. Pure data; no field may ever hold a secret.

export const LOG_FIELDS = {
  agentPid: "process id of an agent",
  backend: "backend type, as in net-conf.json",
  changes: "objects of the kernel that were added, replaced or deleted",
  code: "stable error code, see docs/errors.md",
  configuration: "the options in force, without secrets",
  count: "how many",
  dataplanePid: "process id of the data plane",
  detail: "further facts, as the part that speaks gives them",
  device: "network device of the overlay",
  durationMs: "how long it took, in milliseconds",
  error: "what failed: code, message, op, errno",
  exitCode: "exit code of a process",
  externalInterface: "network device of the underlay",
  file: "path of a file",
  key: "lease key",
  lease: "subnet of a lease",
  listen: "address and port, or path, of a listening socket",
  mode: "who carries packets: auto, kernel or userspace",
  mtu: "MTU in bytes",
  options: "what a data plane was opened with",
  part: "part of Ripstop that speaks",
  peers: "number of peers",
  publicIp: "address that other nodes reach this one by",
  reason: "why, in words",
  restarts: "how often a process was started again",
  retryMs: "milliseconds until the next try",
  signal: "signal that ended a process",
  store: "where leases live",
  tableVersion: "version of a peer table",
  version: "version of Ripstop",
} as const;

export type LogFields = Partial<Readonly<Record<keyof typeof LOG_FIELDS, unknown>>>;

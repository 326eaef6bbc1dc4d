// What systemd tells a service through its environment (sd_notify(3), sd_watchdog_enabled(3)). Reads, never writes.

export interface ServiceManager {
  /** NOTIFY_SOCKET: a path, or an abstract name with a leading @. */
  readonly socket: string;
  /** How often a sign of life is wanted; null: no watchdog. */
  readonly watchdogMs: number | null;
}

/** Null when nobody asked to be told. */
export function serviceManager(environment: NodeJS.ProcessEnv = process.env, pid = process.pid): ServiceManager | null {
  const socket = environment["NOTIFY_SOCKET"] ?? "";
  if (socket === "") return null;
  const usec = Number(environment["WATCHDOG_USEC"]);
  const forUs = environment["WATCHDOG_PID"] === undefined || environment["WATCHDOG_PID"] === `${pid}`;
  // Half of the limit, as sd_watchdog_enabled(3) recommends.
  return { socket, watchdogMs: forUs && usec > 0 ? usec / 1000 / 2 : null };
}

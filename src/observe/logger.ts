// The log: JSON lines through pino, fields from the glossary only. Owned by the process that made it; parts get children.
// Errors are logged once, where they are handled. Never logs secrets: no field of the glossary may hold one.
import { pino } from "pino";
import { RipstopError } from "../lib/errors.js";
import type { LogFields } from "./fields.js";
import { RateGate } from "./rate-gate.js";

export interface Logger {
  trace(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log with `part` in every line. */
  part(name: string): Logger;
}

/** The log of a process, of which all others are parts. */
export interface RootLogger extends Logger {
  readonly level: Level;
  setLevel(level: Level): void;
  /** Lines left out because there were too many. */
  readonly suppressed: number;
}

export type Level = "trace" | "debug" | "info" | "warn" | "error";

const ORDER: Readonly<Record<Level, number>> = { trace: 0, debug: 1, info: 2, warn: 3, error: 4 };

export interface LoggerOptions {
  readonly level: Level;
  /** A file to append to, or the descriptor of standard error. */
  readonly destination: string | 2;
}

/** klog's -v: 0 is information, 1 to 3 add debugging, 4 and more add everything. */
export function levelOfVerbosity(verbosity: number): Level {
  if (verbosity >= 4) return "trace";
  return verbosity >= 1 ? "debug" : "info";
}

export function createLogger(options: LoggerOptions): RootLogger {
  // Synchronous: a line is on disk before the process that wrote it can die, and there are few of them.
  const destination = pino.destination({ dest: options.destination, sync: true, mkdir: false });
  const root = pino(
    {
      level: options.level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: describeError },
    },
    destination,
  );
  const gate = new RateGate(() => performance.now());
  const levels = { current: options.level };
  return {
    ...wrap(root, gate, levels),
    get level() {
      return levels.current;
    },
    setLevel(level) {
      levels.current = level;
    },
    get suppressed() {
      return gate.suppressed;
    },
  };
}

/** A log that nobody reads, for libraries and tests. */
export function silentLogger(): Logger {
  return wrap(pino({ enabled: false }), new RateGate(() => 0), { current: "error" });
}

/** `levels` is shared by all parts, so that a new level counts for all at once; a pino child has a level of its own. */
function wrap(target: pino.Logger, gate: RateGate, levels: { readonly current: Level }): Logger {
  const at =
    (level: Level) =>
    (message: string, fields: LogFields = {}): void => {
      if (ORDER[level] < ORDER[levels.current] || !gate.pass()) return;
      target.level = levels.current;
      const count = gate.takePending();
      if (count > 0) target.warn({ count }, "log lines were left out, because there were too many");
      target[level](fields, message);
    };
  return {
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    part: (name) => wrap(target.child({ part: name }), gate, levels),
  };
}

/** A Ripstop error says all that matters by itself; anything else is a bug, whose stack is wanted. */
export function describeError(error: unknown): unknown {
  if (error instanceof RipstopError) {
    const { code, message, op, errno } = error;
    return { code, message, op, errno };
  }
  if (error instanceof Error) return { message: error.message, stack: error.stack };
  return { message: String(error) };
}

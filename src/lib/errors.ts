// The base of every error that Ripstop reports on purpose: what was tried, on what, what the answer was, what to do.

export interface RipstopErrorOptions {
  /** The operation or system call, e.g. "bind(UDP 8472)". */
  readonly op?: string;
  /** Where the kernel answered; the sign does not matter. */
  readonly errno?: number;
  readonly cause?: unknown;
  /** Process exit code for the CLI; 1 unless said otherwise. */
  readonly exitCode?: number;
}

export class RipstopError extends Error {
  readonly code: string;
  readonly op: string | undefined;
  /** Negative, as in all of Node's errors; undefined where no system call was refused. */
  readonly errno: number | undefined;
  readonly exitCode: number;

  /** `message` is one sentence that ends with the remedy; `code` is stable and documented in docs/errors.md. */
  constructor(code: string, message: string, options: RipstopErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "RipstopError";
    this.code = code;
    this.op = options.op;
    this.errno = options.errno === undefined ? undefined : -Math.abs(options.errno);
    this.exitCode = options.exitCode ?? 1;
  }

  /** The operation under the name that Node's errors have for it. */
  get syscall(): string | undefined {
    return this.op;
  }
}

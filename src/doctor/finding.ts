// What a check of `ripstop doctor` says. Pure data.

export type Verdict = "ok" | "warn" | "fail" | "skip";

export interface Finding {
  /** Stable name of the check, for programs. */
  readonly check: string;
  readonly verdict: Verdict;
  /** What was seen. */
  readonly value: string;
  /** What follows from it; "" when all is well. */
  readonly meaning: string;
  /** What to do; "" when nothing is to be done. */
  readonly fix: string;
}

export function ok(check: string, value: string): Finding {
  return { check, verdict: "ok", value, meaning: "", fix: "" };
}

/** Could not be looked at, and why. */
export function skip(check: string, value: string): Finding {
  return { check, verdict: "skip", value, meaning: "", fix: "" };
}

export function warn(check: string, value: string, meaning: string, fix: string): Finding {
  return { check, verdict: "warn", value, meaning, fix };
}

export function fail(check: string, value: string, meaning: string, fix: string): Finding {
  return { check, verdict: "fail", value, meaning, fix };
}

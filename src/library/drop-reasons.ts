// The ways in which a packet can end other than by delivery, with a sentence for each: for metrics, tables and people.
import { addon } from "./addon.js";

export interface DropReason {
  /** As counters and metrics name it; labels are stable. */
  readonly label: string;
  readonly sentence: string;
}

/** Every reason, in the order of the checks. Loads the addon. */
export function dropReasons(): readonly DropReason[] {
  return addon().dropReasons;
}

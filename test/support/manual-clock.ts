// The clock that tests move by hand is part of the library: src/testing/manual-clock.ts.
export { ManualClock } from "../../src/testing/manual-clock.js";

// How many cases a property is tried with. The short form, of every test run, tries the same ones each time, so that it fails for a
// change and never for the weather; RIPSTOP_PROPERTY_TIMES=100 is a long form: so many times as many, others each time.
import fc from "fast-check";

const times = process.env["RIPSTOP_PROPERTY_TIMES"];
const SEED = 20_260;

/** For fc.assert; `cases` of the short form. */
export function propertyRuns(cases: number): { readonly numRuns: number; readonly seed?: number } {
  return times === undefined ? { numRuns: cases, seed: SEED } : { numRuns: cases * Number(times) };
}

if (times === undefined) fc.configureGlobal({ seed: SEED });

/** fast-check, whose short form tries the same cases each time. */
export { fc };

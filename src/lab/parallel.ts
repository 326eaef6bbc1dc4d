// Many small jobs at once, few at a time: a lab of a hundred nodes must not start a thousand processes together.
const JOBS_MAX = 8;

/** Runs `job` for every item; the first failure stops new jobs and is the one reported. Results keep the items' order. */
export async function inParallel<T, R>(items: readonly T[], job: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  let failed = false;
  const lane = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const at = next++;
      try {
        results[at] = await job(items[at] as T);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(JOBS_MAX, items.length) }, lane));
  return results;
}

// What has to be undone, in the reverse order of what was done. One failing step does not keep the others from happening.

export class Teardown {
  readonly #steps: Array<() => Promise<void> | void> = [];

  add(step: () => Promise<void> | void): void {
    this.#steps.push(step);
  }

  /** Forgets everything: what was done is to stay. */
  keep(): void {
    this.#steps.length = 0;
  }

  /** Runs every step once, last first; `onError` gets what went wrong. */
  async run(onError: (error: unknown) => void): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        onError(error);
      }
    }
  }
}

// One value that readers follow: each reader gets the newest value at once and then every later one, coalesced. A slow
// reader skips values and never makes the writer wait, so there is no queue to fill.

export class Latest<T> {
  #value: { readonly value: T } | null = null;
  #version = 0;
  readonly #waiting = new Set<() => void>();

  get current(): T | undefined {
    return this.#value?.value;
  }

  set(value: T): void {
    this.#value = { value };
    this.#version++;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** Ends, without an error, when the signal aborts. */
  async *follow(signal: AbortSignal): AsyncGenerator<T, void, void> {
    let seen = 0;
    while (!signal.aborted) {
      if (this.#value !== null && this.#version !== seen) {
        seen = this.#version;
        yield this.#value.value;
        continue;
      }
      await this.#changed(signal);
    }
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener("abort", wake);
        this.#waiting.delete(wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }
}

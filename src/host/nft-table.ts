// One nft table that is ours as a whole. Versions of nft print the same rule differently, so what we fed in is not compared with
// what it shows: the text it showed right after we made the table is kept, and any later difference is tampering. After a restart
// the table is made once more, which is one atomic replacement and costs nobody a packet. The caller decides when.
import { RipstopError } from "../lib/errors.js";
import { type CommandRunner, outputOf } from "./command.js";

interface Made {
  readonly wanted: string;
  readonly shown: string;
}

export interface Settled {
  readonly changed: boolean;
  /** As nft shows it now, counts included. */
  readonly shown: string;
}

export class NftTable {
  /** "ip flannel-ipv4". */
  readonly name: string;
  readonly #run: CommandRunner;
  #made: Made | null = null;

  constructor(run: CommandRunner, name: string) {
    this.#run = run;
    this.name = name;
  }

  /** One look, and one more program only to repair. `contents` gets what is shown, and gives what is between the table's braces. */
  async settle(contents: (shown: string | null) => string): Promise<Settled> {
    const before = await this.show();
    const wanted = this.#transaction(contents(before));
    if (before !== null && this.#made?.wanted === withoutCounts(wanted) && withoutCounts(before) === this.#made.shown)
      return { changed: false, shown: before };
    await outputOf(this.#run, ["nft", "-f", "-"], wanted);
    const shown = await this.show();
    if (shown === null)
      throw new RipstopError("COMMAND_FAILED", `nft made table ${this.name} but does not show it; try again`);
    this.#made = { wanted: withoutCounts(wanted), shown: withoutCounts(shown) };
    return { changed: true, shown };
  }

  /** True when there was one. */
  async remove(): Promise<boolean> {
    this.#made = null;
    if ((await this.show()) === null) return false;
    // Works also when somebody else was faster.
    await outputOf(this.#run, ["nft", "-f", "-"], `add table ${this.name}\ndelete table ${this.name}\n`);
    return true;
  }

  /** Null: no such table, or no nft at all. */
  async show(): Promise<string | null> {
    try {
      const { code, stdout } = await this.#run(["nft", "list", "table", ...this.name.split(" ")]);
      return code === 0 ? stdout : null;
    } catch (error) {
      if (error instanceof RipstopError && error.code === "COMMAND_MISSING") return null;
      throw error;
    }
  }

  /** The table is made if missing, thrown away and made again, so what was tampered with does not matter. */
  #transaction(contents: string): string {
    return `add table ${this.name}\ndelete table ${this.name}\ntable ${this.name} {\n${contents}}\n`;
  }
}

function withoutCounts(text: string): string {
  return text.replace(/packets \d+ bytes \d+/g, "");
}

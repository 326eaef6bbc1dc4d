// argv -> program -> exit code; nothing else. The only file that may call process.exit.
import { run } from "./cli/program.js";
import { wantsColors } from "./config/terminal.js";

/** Called by bin/ripstop and bin/flanneld with the arguments after the program's name. */
export async function main(argv: readonly string[]): Promise<void> {
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    // The second signal does not wait for an orderly end: by then the operator has asked twice.
    if (stop.signal.aborted) process.exit(name === "SIGINT" ? 130 : 143);
    stop.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  // `ripstop status | head` is not an error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 74));
  const exitCode = await run(argv, {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    outBytes: (bytes) => void process.stdout.write(bytes),
    terminal: process.stdout.isTTY,
    colors: wantsColors(process.stdout.isTTY),
    signal: stop.signal,
  });
  await Promise.all([written(process.stdout), written(process.stderr)]);
  process.exit(exitCode);
}

/** A pipe or socket takes what we say little by little; exit would cut it off. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write("", () => resolve());
  });
}

// Facts about the path of a Unix socket that both ends of the data-plane protocol need. No state.
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { RipstopError } from "../lib/errors.js";

/** sizeof(sockaddr_un.sun_path) without the final NUL; Node cuts longer paths off silently. */
const SOCKET_PATH_MAX = 107;

export function checkSocketPath(path: string): string {
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return path;
  throw new RipstopError(
    "SOCKET_PATH_TOO_LONG",
    `the socket path ${path} is longer than ${SOCKET_PATH_MAX} bytes; choose a shorter --run-dir`,
  );
}

/** Where the process behind a socket says which process it is, for a supervisor that must kill it when it hangs. */
export function pidPathOf(socketPath: string): string {
  return `${socketPath}.pid`;
}

/** Where a data plane listens that shall take the place of the one at `socketPath`. */
export function successorPathOf(socketPath: string): string {
  return join(dirname(socketPath), "successor.sock");
}

/** True when a process accepts connections there; false for no file, a stale file, or something that is no socket. */
export function socketAnswers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(checkSocketPath(path));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

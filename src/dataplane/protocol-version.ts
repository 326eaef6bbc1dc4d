// The version of the protocol between agent and data-plane process (protocol.ts), alone in a file, so that who only needs the
// number does not load the schemas.

export const PROTOCOL_VERSION = 1;

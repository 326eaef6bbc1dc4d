// etcd endpoints as operators write them: blanks, trailing slashes and missing schemes are accepted, the rest is refused with
// the endpoint named. The etcd client fails late and vaguely on all of these. Pure.
import { RipstopError } from "../../lib/errors.js";

export interface Endpoints {
  /** "http://host:port", no trailing slash. */
  readonly origins: readonly string[];
  readonly secure: boolean;
}

const DEFAULT_PORT = "2379";

/** `tls`: certificates are configured, so an endpoint without a scheme means https. */
export function parseEndpoints(endpoints: readonly string[], tls: boolean): Endpoints {
  const origins = endpoints
    .map((endpoint) => endpoint.trim())
    .filter((endpoint) => endpoint !== "")
    .map((endpoint) => parseOne(endpoint, tls));
  const [first] = origins;
  if (first === undefined) throw invalid("no endpoint is given", "name at least one, such as http://127.0.0.1:2379");
  const secure = first.startsWith("https:");
  const odd = origins.find((origin) => origin.startsWith("https:") !== secure);
  if (odd !== undefined) throw invalid(`${odd} and ${first} mix http and https`, "use one of them for all");
  return { origins: [...new Set(origins)], secure };
}

function parseOne(endpoint: string, tls: boolean): string {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(endpoint) ? endpoint : `${tls ? "https" : "http"}://${endpoint}`;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalid(`"${endpoint.replace(/\/\/[^@]*@/, "//***@")}" is no URL`, "write it as http://host:2379");
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw invalid(`"${url.protocol}//${url.host}" has the scheme ${url.protocol}`, "use http or https");
  }
  if (url.username !== "" || url.password !== "") {
    throw invalid(`the endpoint at ${url.host} carries a password`, "give it as -etcd-username and -etcd-password");
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "" || url.hostname === "") {
    throw invalid(`"${text}" has more than a host and a port`, "leave out the rest; the key prefix is -etcd-prefix");
  }
  // URL drops a port that is the scheme's own; etcd's default is another.
  const explicit = /:(\d+)\/?$/.exec(text.replace(/^[a-z]+:\/\//i, ""));
  return `${url.protocol}//${url.hostname}:${explicit?.[1] ?? DEFAULT_PORT}`;
}

function invalid(problem: string, remedy: string): RipstopError {
  return new RipstopError("STORE_ENDPOINT_INVALID", `-etcd-endpoints: ${problem}; ${remedy}`);
}

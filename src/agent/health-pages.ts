// What the agent shows over HTTP beside the probes: /metrics, /status.json, and the page at / that draws the latter. Composed
// here, served by observe/health-server.ts. Reads only.
import type { AgentOptions } from "../config/options.js";
import { ConnectivityPage } from "../doctor/connectivity.js";
import type { Clock } from "../lib/clock.js";
import type { Teardown } from "../lib/teardown.js";
import { HealthServer, type HealthPage } from "../observe/health-server.js";
import type { RootLogger } from "../observe/logger.js";
import { METRICS_CONTENT_TYPE } from "../observe/metrics-text.js";
import { STATUS_PAGE, STATUS_PAGE_POLICY } from "../observe/status-page.js";
import { MetricsPage } from "./metrics-page.js";
import { askDataplane } from "./node-status.js";
import type { RunPaths } from "./run-dir.js";
import type { StatusBoard } from "./status-board.js";

export interface HealthParts {
  readonly options: AgentOptions;
  readonly board: StatusBoard;
  readonly paths: RunPaths;
  readonly clock: Clock;
  readonly logger: RootLogger;
  readonly wedged: () => string | null;
}

export async function serveHealth(parts: HealthParts, down: Teardown): Promise<void> {
  const { options, board, paths, clock, logger, wedged } = parts;
  const { healthzIp: address, healthzPort: port } = options;
  const dataplane = () => askDataplane(paths.dataplaneSocket);
  const metrics = new MetricsPage({
    overview: () => board.overview(),
    dataplane,
    leaseExpiry: () => {
      const at = board.leaseExpiresAtMs;
      return at === null ? null : (at - clock.nowMs()) / 1000;
    },
    suppressedLogLines: () => logger.suppressed,
    work: () => board.work,
  });
  down.add(() => metrics.stop());
  const connectivity = new ConnectivityPage(
    () => board.status(),
    () => clock.nowMs(),
  );
  const json = async () => {
    const answer = { agent: board.status(), dataplane: await dataplane() };
    return JSON.stringify(answer, (_key, one: unknown) => (typeof one === "bigint" ? one.toString() : one));
  };
  const pages = new Map<string, HealthPage>([
    ["/metrics", { contentType: METRICS_CONTENT_TYPE, body: () => metrics.body() }],
    ["/connectivity", { contentType: "application/json", body: () => connectivity.body() }],
    ["/status.json", { contentType: "application/json", body: json }],
    [
      "/",
      {
        contentType: "text/html; charset=utf-8",
        headers: { "content-security-policy": STATUS_PAGE_POLICY },
        body: () => STATUS_PAGE,
      },
    ],
  ]);
  const detail = (): string[] => {
    const { condition, reasons, store, dataplane } = board.overview();
    return [
      `condition ${condition}`,
      `store ${store.kind} ${store.connected ? "connected" : "not connected"}`,
      `data plane ${dataplane.phase}`,
      ...reasons,
    ];
  };
  const server = await HealthServer.listen({ address, port, ready: () => board.isReady, wedged, detail, pages });
  down.add(() => server.stop());
  logger.info("health server listens", { listen: `${address}:${port}` });
}

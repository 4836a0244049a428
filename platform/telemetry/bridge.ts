/**
 * What OpenTelemetry, when it was started before the program, offers to the rest of it. The SDK is one a process, is
 * loaded by `--import` before anything could pass it along, and is not loaded at all unless it is asked for: so this
 * is module state, and costs nothing when it is not used.
 */
export type Telemetry = {
  /** W3C trace context of the span that is active now. */
  activeTraceparent(): string | undefined;
  /** Sends what has been recorded; bounded in time, never throws. */
  flush(): Promise<void>;
};

let started: Telemetry | undefined;

export function offerTelemetry(telemetry: Telemetry | undefined): void {
  started = telemetry;
}

/** Undefined when no telemetry was asked for. */
export function telemetry(): Telemetry | undefined {
  return started;
}

/**
 * `node --import @strangler/platform/telemetry/register.ts main.ts`: traces go to the collector that
 * OTEL_EXPORTER_OTLP_ENDPOINT names, under the name in OTEL_SERVICE_NAME. Without that variable nothing is loaded.
 */
if (process.env.OTEL_EXPORTER_OTLP_ENDPOINT) {
  const { startTelemetry } = await import('./start.ts');
  startTelemetry();
}

import { describeTransparentProxy } from './testing/describe-transparent-proxy.ts';
import { startProxyProgram } from './testing/proxy-program.ts';
import type { ProxyWishes, StartProxy } from './testing/start-transparent-proxy.ts';

const environmentOf = (wishes: ProxyWishes): Record<string, string> => {
  const told: Record<string, string | number | undefined> = {
    MONOLITH_URL: wishes.monolith.join(','),
    WORKERS: 1,
    LOG_LEVEL: 'info',
    ACCESS_LOG: 'none',
    CONNECT_TIMEOUT: wishes.connectTimeoutMs,
    ANSWER_TIMEOUT: wishes.answerTimeoutMs,
    IDLE_TIMEOUT: wishes.bodyIdleTimeoutMs,
    CLIENT_IDLE_TIMEOUT: wishes.clientIdleTimeoutMs,
    HANDSHAKE_TIMEOUT: wishes.handshakeTimeoutMs,
    UPSTREAM_CONNECTIONS: wishes.maxSockets,
    MAX_BODY: wishes.maxBodyBytes,
    MAX_HEADER: wishes.maxHeaderBytes,
    HEADERS_TIMEOUT: wishes.headersTimeoutMs,
    KEEP_ALIVE_TIMEOUT: wishes.keepAliveTimeoutMs,
    TRUSTED_PEERS: wishes.trustedPeers?.join(','),
    // A test that leaves a request hanging must not wait for it.
    DRAIN_GRACE: 100,
  };
  return Object.fromEntries(
    Object.entries(told).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  );
};

const start: StartProxy = async (wishes) => {
  const program = await startProxyProgram(environmentOf(wishes));
  return {
    port: Number(new URL(program.url).port),
    close: async () => {
      await program.stop('SIGKILL');
    },
  };
};

// Each case starts a program. What is left out does not depend on the server's own options, and is run within one process.
describeTransparentProxy('the complete proxy program in front of a foreign server', start, [
  'framing',
  'bodies',
  'upgrade',
]);

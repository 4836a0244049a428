/**
 * Who may import whom. Each rule is proven by e2e/test/boundaries.test.ts, which shows that a forbidden import is refused.
 */
const kits = ['monolith', 'extracted/[^/]+', 'strangler-proxy', 'migrations'];

const ours = '^(platform|monolith|extracted|strangler-proxy|migrations|stack|e2e|bench)/';

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'platform-imports-nothing-of-ours',
      comment: 'Everything stands on platform, so it can stand on nothing but libraries.',
      severity: 'error',
      from: { path: '^platform/' },
      to: { path: ours, pathNot: '^platform/' },
    },
    ...kits.map((kit) => ({
      name: `${kit.replace('/[^/]+', '')}-imports-platform-only`,
      comment:
        'Services, proxy and migrations meet over HTTP, gRPC, RabbitMQ and contracts in platform, never in code.',
      severity: 'error',
      from: { path: `^(${kit})/` },
      // $1 is the folder itself: one extracted service is not another.
      to: { path: ours, pathNot: '^(platform|$1)/' },
    })),
    {
      name: 'nothing-imports-stack-e2e-or-bench',
      comment: 'They may import anything; what runs in production must not need them.',
      severity: 'error',
      from: { path: ours, pathNot: '^(stack|e2e|bench)/' },
      to: { path: '^(stack|e2e|bench)/' },
    },
    {
      name: 'no-import-that-leads-nowhere',
      comment: 'A file that is not there, or a package that package.json does not name.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    parser: 'swc',
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(node_modules|\\.stack)/' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default'],
      extensions: ['.ts', '.mjs', '.js', '.json'],
    },
  },
};

const swc = ['@swc/jest', { jsc: { parser: { syntax: 'typescript' }, target: 'es2024' }, module: { type: 'es6' } }];
const withServers = {
  globalSetup: '<rootDir>/stack/jest/global-setup.ts',
  globalTeardown: '<rootDir>/stack/jest/global-teardown.ts',
};

const project = (displayName, testMatch, more = {}) => ({
  displayName,
  rootDir: import.meta.dirname,
  testMatch,
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': swc },
  modulePathIgnorePatterns: ['<rootDir>/\\.stack/'],
  watchPathIgnorePatterns: ['<rootDir>/\\.stack/'],
  testPathIgnorePatterns: ['/node_modules/', '/\\.stack/', ...(more.testPathIgnorePatterns ?? [])],
  ...(more.servers ? withServers : {}),
});

const jestConfig = {
  maxWorkers: 2,
  testTimeout: 120_000,
  testSequencer: '<rootDir>/stack/jest/longest-first.mjs',
  projects: [
    project('unit', ['<rootDir>/**/*.test.ts'], { testPathIgnorePatterns: ['\\.(integration|data|e2e)\\.test\\.ts$'] }),
    project('integration', ['<rootDir>/**/*.integration.test.ts'], { servers: true }),
    project('data', ['<rootDir>/**/*.data.test.ts'], { servers: true }),
    project('e2e', ['<rootDir>/**/*.e2e.test.ts'], { servers: true }),
  ],
};

export default jestConfig;

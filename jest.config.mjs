const withServers = {
  globalSetup: '<rootDir>/stack/jest/global-setup.ts',
  globalTeardown: '<rootDir>/stack/jest/global-teardown.ts',
};

const project = (displayName, testMatch, more = {}) => ({
  displayName,
  rootDir: import.meta.dirname,
  testMatch,
  // Node loads and strips everything itself, as it does in production.
  runtime: '<rootDir>/stack/jest/runtime.ts',
  testEnvironment: '<rootDir>/stack/jest/environment.ts',
  transform: {},
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

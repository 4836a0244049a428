const base = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '\\.ts$': ['@swc/jest', { jsc: { parser: { syntax: 'typescript' }, target: 'es2024' }, module: { type: 'es6' } }],
  },
  modulePathIgnorePatterns: ['<rootDir>/\\.stack/'],
  watchPathIgnorePatterns: ['<rootDir>/\\.stack/'],
};
export default {
  maxWorkers: 2,
  projects: [{ ...base, displayName: 'unit', testMatch: ['<rootDir>/**/*.test.ts'] }],
};

/** Tests sit beside their source; TypeScript is only stripped here (tsc checks it in `npm run check`). */
const ignored = ['/node_modules/', '<rootDir>/dist/', '<rootDir>/coverage/', '<rootDir>/\\.distric/'];

export default {
  testEnvironment: 'node',
  roots: ['<rootDir>'],
  testMatch: ['**/*.test.ts'],
  testPathIgnorePatterns: ignored,
  modulePathIgnorePatterns: ignored.slice(1),
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2024' },
        module: { type: 'es6' },
        sourceMaps: true,
      },
    ],
  },
  moduleFileExtensions: ['ts', 'js', 'mjs', 'cjs', 'json', 'node'],
  testTimeout: 30_000,
  maxWorkers: 2,
  coverageProvider: 'v8',
  coverageReporters: ['lcovonly'],
  coverageDirectory: 'coverage',
  collectCoverageFrom: ['{base,api,pki,node,operator,cli,client,examples}/**/*.ts', '!**/*.test.ts'],
};

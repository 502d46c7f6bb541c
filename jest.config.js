/** Tests sit beside their source; TypeScript is only stripped here (tsc checks it in `npm run check`). */
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/base', '<rootDir>/api', '<rootDir>/node', '<rootDir>/cli', '<rootDir>/examples', '<rootDir>/bench', '<rootDir>/tools', '<rootDir>/e2e'],
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': ['@swc/jest', { jsc: { parser: { syntax: 'typescript' }, target: 'es2024' }, module: { type: 'es6' }, sourceMaps: true }],
  },
  moduleFileExtensions: ['ts', 'js', 'mjs', 'cjs', 'json', 'node'],
  testTimeout: 30_000,
};

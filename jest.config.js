/** One project per folder of test/, so that each can run alone; ESM throughout, as the sources are. */
const project = (displayName, more = {}) => ({
  displayName,
  testMatch: [`<rootDir>/test/${displayName}/**/*.test.ts`],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2024' }, module: { type: 'es6' } },
    ],
  },
  extensionsToTreatAsEsm: ['.ts'],
  testEnvironment: 'node',
  ...more,
})

const withDrivers = { setupFilesAfterEnv: ['<rootDir>/test/support/load-drivers.ts'] }

export default {
  projects: [
    project('unit'),
    project('rules'),
    ...['conformance', 'integration', 'fault', 'endurance'].map((name) => project(name, withDrivers)),
  ],
  testSequencer: '<rootDir>/jest.sequencer.js',
  testTimeout: 120_000,
}

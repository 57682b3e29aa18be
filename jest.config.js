/** One project per folder of test/, so that each can run alone; ESM throughout, as the sources are. */
const project = (displayName) => ({
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
})

export default {
  projects: ['unit', 'rules', 'conformance', 'integration', 'fault'].map(project),
  testTimeout: 60_000,
}

import js from '@eslint/js';
import prettier from 'eslint-config-prettier';
import security from 'eslint-plugin-security';
import globals from 'globals';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** Rooms without clock, chance or I/O (docs/decisions/0001-pure-core.md); tests beside them may use the platform. */
const PURE = ['base/**/*.ts', 'api/**/*.ts', 'node/core/**/*.ts', 'node/*.ts', 'operator/planner/**/*.ts'];
const NOT_PURE = ['**/*.test.ts', 'node/main.ts'];

const noDefaultExport = {
  selector: 'ExportDefaultDeclaration',
  message: 'Export by name: a name is the same word wherever it is used.',
};
const noEnum = {
  selector: 'TSEnumDeclaration',
  message: 'Use a union of literals: enums do not survive type stripping.',
};

const pureGlobals = [
  ['Date', 'Time comes in as a number of milliseconds.'],
  ['Promise', 'The core is synchronous: return effects.'],
  ['process', 'Configuration and exits belong to main.ts.'],
  ['console', 'Report by an effect or a metric.'],
  ['performance', 'Time comes in as a number of milliseconds.'],
  ['setTimeout', 'Ask for a tick by an effect.'],
  ['setInterval', 'Ask for a tick by an effect.'],
  ['setImmediate', 'Ask for a tick by an effect.'],
  ['queueMicrotask', 'The core is synchronous: return effects.'],
  ['fetch', 'I/O belongs to node/io.'],
  ['crypto', 'Randomness comes in as a Random.'],
  ['WeakRef', 'What a garbage collector decides is not deterministic.'],
  ['FinalizationRegistry', 'What a garbage collector decides is not deterministic.'],
].map(([name, message]) => ({ name, message }));

const chance = { object: 'Math', property: 'random', message: 'Randomness comes in as a Random (base/random.ts).' };

export default defineConfig(
  globalIgnores(['dist/', 'coverage/', '.distric/', 'bench/results/', '**/*.json']),
  // A rule that is wrong is changed here, for everybody, and not silenced on a line.
  { linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      eqeqeq: 'error',
      // Matching control characters is how terminal output is cleaned.
      'no-control-regex': 'off',
      'no-console': 'error',
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }],
      'no-restricted-syntax': ['error', noDefaultExport, noEnum],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // Numbers print the way a reader expects; objects, null and undefined do not, and stay refused.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // `for (;;)` and `while (true)` are how a loop says that it ends from inside.
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
    },
  },
  {
    files: ['**/*.ts'],
    plugins: { security },
    rules: {
      'security/detect-bidi-characters': 'error',
      'security/detect-buffer-noassert': 'error',
      'security/detect-child-process': 'error',
      'security/detect-eval-with-expression': 'error',
      'security/detect-invisible-characters': 'error',
      'security/detect-new-buffer': 'error',
      'security/detect-non-literal-regexp': 'error',
      'security/detect-possible-timing-attacks': 'error',
      'security/detect-pseudoRandomBytes': 'error',
      // Off: detect-object-injection (every indexed read), detect-non-literal-fs-filename (every data directory),
      // detect-non-literal-require (plugins are modules by design), detect-unsafe-regex (counts an optional group as
      // a nested repetition; patterns from outside run on re2js, which is linear), and what only concerns Express
      // and Mustache.
    },
  },
  {
    files: PURE,
    ignores: NOT_PURE,
    rules: {
      'no-restricted-globals': ['error', ...pureGlobals],
      'no-restricted-properties': ['error', chance],
      'no-restricted-syntax': [
        'error',
        noDefaultExport,
        noEnum,
        { selector: ':function[async=true]', message: 'The core is synchronous: return effects.' },
        { selector: 'AwaitExpression', message: 'The core is synchronous: return effects.' },
        { selector: 'ImportExpression', message: 'The core is synchronous: import at the top.' },
      ],
      'no-restricted-imports': [
        'error',
        { patterns: [{ regex: '^node:', message: 'Pure rooms get the platform by Host (base/host.ts).' }] },
      ],
    },
  },
  {
    // The simulator reads files and prints, but what it decides comes from its seed alone.
    files: ['node/sim/**/*.ts'],
    ignores: ['**/*.test.ts', 'node/sim/main.ts'],
    rules: {
      'no-restricted-globals': ['error', ...pureGlobals.filter(({ name }) => name === 'Date' || name === 'crypto')],
      'no-restricted-properties': ['error', chance],
    },
  },
  {
    files: ['cli/**/*.ts', 'e2e/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            { regex: '^\\.\\./(.*/)?(node(?!/data/)|operator)/', message: 'Outside programs use the public surfaces.' },
          ],
        },
      ],
    },
  },
  {
    files: ['client/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex:
                '^\\.\\./(.*/)?(node/(?!core/(tlv|rpc)/|core/state/query\\.ts|io/(net|tls)/|io/(host|cipher)\\.ts)|operator/)',
              message: 'The client speaks the protocol and takes nothing else of a node.',
            },
          ],
        },
      ],
    },
  },
  {
    // Programs for people: standard output is their surface.
    files: ['tools/**/*.ts', 'bench/**/*.ts', 'node/sim/main.ts', 'examples/**/*.ts', 'e2e/cluster/main.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['**/*.test.ts', 'e2e/**/*.ts'],
    rules: {
      // A `describe` block is a list, not a function to be read at once.
      'max-lines-per-function': 'off',
      // In a test a wrong `!` fails the test, which is what it is for.
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  { files: ['**/*.js'], languageOptions: { globals: globals.node } },
  prettier,
);

// SPDX-License-Identifier: Apache-2.0
// Validates by npm's "ajv", for the tests: {schema, documents} in JSON on standard input; on standard output one list of errors per
// document.
import { readFileSync } from 'node:fs'
import Ajv2020 from 'ajv/dist/2020.js'

const { schema, documents } = JSON.parse(readFileSync(0, 'utf8'))
const validate = new Ajv2020({ strict: true, allErrors: true, allowUnionTypes: true, strictRequired: false }).compile(schema)
console.log(JSON.stringify(documents.map((document) => validate(document) ? [] : validate.errors.map((e) => `${e.instancePath} ${e.message}`))))

// The AWS SDK for JavaScript with a key in an external key store: from CreateCustomKeyStore to the deletion of the key.
// The settings are JSON on standard input, as for the tests in Python. NODE_PATH is the directory of the SDK.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const kms = require('@aws-sdk/client-kms');

const facts = JSON.parse(fs.readFileSync(0, 'utf8'));
const payments = facts.stores.payments;
const client = new kms.KMSClient({
  endpoint: facts.url,
  region: payments.region,
  credentials: { accessKeyId: '111122223333', secretAccessKey: 'any secret does' },
  maxAttempts: 1,
});
const PLAINTEXT = Buffer.from('attack at dawn');
const CONTEXT = { project: 'nile', tenant: 'one' };

async function connectedStore() {
  const { CustomKeyStoreId } = await client.send(new kms.CreateCustomKeyStoreCommand({
    CustomKeyStoreName: 'payments',
    CustomKeyStoreType: 'EXTERNAL_KEY_STORE',
    XksProxyConnectivity: 'PUBLIC_ENDPOINT',
    XksProxyUriEndpoint: `https://${facts.names[0]}`,
    XksProxyUriPath: payments.path,
    XksProxyAuthenticationCredential: { AccessKeyId: payments.access_key_id, RawSecretAccessKey: payments.secret },
  }));
  await client.send(new kms.ConnectCustomKeyStoreCommand({ CustomKeyStoreId }));
  for (let state = 'CONNECTING'; state !== 'CONNECTED';) {
    const { CustomKeyStores } = await client.send(new kms.DescribeCustomKeyStoresCommand({ CustomKeyStoreId }));
    state = CustomKeyStores[0].ConnectionState;
    assert.ok(['CONNECTING', 'CONNECTED'].includes(state), state);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return CustomKeyStoreId;
}

async function key(CustomKeyStoreId) {
  const request = { Origin: 'EXTERNAL_KEY_STORE', CustomKeyStoreId, XksKeyId: 'orders' };
  const { KeyMetadata } = await client.send(new kms.CreateKeyCommand(request));
  assert.equal(KeyMetadata.XksKeyConfiguration.Id, 'orders');
  return KeyMetadata.KeyId;
}

async function decrypted(CiphertextBlob, EncryptionContext) {
  const { Plaintext } = await client.send(new kms.DecryptCommand({ CiphertextBlob, EncryptionContext }));
  return Buffer.from(Plaintext);
}

async function encryption(KeyId) {
  const encrypt = new kms.EncryptCommand({ KeyId, Plaintext: PLAINTEXT, EncryptionContext: CONTEXT });
  const { CiphertextBlob } = await client.send(encrypt);
  assert.deepEqual(await decrypted(CiphertextBlob, CONTEXT), PLAINTEXT);
  // A wrong context has the same exception as a changed ciphertext.
  await assert.rejects(decrypted(CiphertextBlob, { ...CONTEXT, tenant: 'two' }), kms.KMSInvalidStateException);
  const again = await client.send(new kms.ReEncryptCommand({
    CiphertextBlob, SourceEncryptionContext: CONTEXT, DestinationKeyId: KeyId,
  }));
  assert.deepEqual(await decrypted(again.CiphertextBlob), PLAINTEXT);
  return CiphertextBlob;
}

async function dataKeys(KeyId) {
  const request = { KeyId, KeySpec: 'AES_256' };
  const data = await client.send(new kms.GenerateDataKeyCommand(request));
  assert.equal(data.Plaintext.length, 32);
  assert.deepEqual(await decrypted(data.CiphertextBlob), Buffer.from(data.Plaintext));
  const dataKey = await client.send(new kms.GenerateDataKeyWithoutPlaintextCommand(request));
  assert.equal((await decrypted(dataKey.CiphertextBlob)).length, 32);
}

async function rejections(KeyId, CiphertextBlob) {
  await assert.rejects(client.send(new kms.EnableKeyRotationCommand({ KeyId })), kms.UnsupportedOperationException);
  await client.send(new kms.DisableKeyCommand({ KeyId }));
  await assert.rejects(decrypted(CiphertextBlob, CONTEXT), kms.DisabledException);
  await client.send(new kms.EnableKeyCommand({ KeyId }));
  assert.deepEqual(await decrypted(CiphertextBlob, CONTEXT), PLAINTEXT);
  await client.send(new kms.ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
  await assert.rejects(decrypted(CiphertextBlob, CONTEXT), kms.KMSInvalidStateException);
}

async function main() {
  const KeyId = await key(await connectedStore());
  const ciphertext = await encryption(KeyId);
  await dataKeys(KeyId);
  await rejections(KeyId, ciphertext);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

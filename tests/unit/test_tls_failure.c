/* What a user is told when a connection cannot be made. */
#include "client/tls_failure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct credentials *make(bool tls)
{
   static char path[] = "/tmp/kvstore-ca-XXXXXX";
   struct kv_status status;
   int fd = mkstemp(path);
   assert_true(fd >= 0 && write(fd, "-----BEGIN X", 12) == 12 && close(fd) == 0);
   struct credentials_options options = {.ca = tls ? path : NULL, .token_file = ""};
   struct credentials *credentials = credentials_create(&options, &status);
   assert_non_null(credentials);
   assert_int_equal(unlink(path), 0);
   strcpy(path + strlen(path) - 6, "XXXXXX");
   return credentials;
}

static void assert_explained(bool tls, const char *text, const char *expected)
{
   struct credentials *credentials = make(tls);
   const char *why = tls_failure_explain(text, credentials);
   if (expected) {
      assert_non_null(why);
      assert_non_null(strstr(why, expected));
   } else {
      assert_null(why);
   }
   credentials_destroy(credentials);
}

static void texts_of_grpc_and_of_both_tls_libraries_are_understood(void **state)
{
   (void)state;
   assert_explained(
       true, "x: Ssl handshake failed: error:0A000086:SSL routines::certificate verify failed",
       "--tls-ca");
   assert_explained(true, "OPENSSL_internal:CERTIFICATE_VERIFY_FAILED", "--tls-ca");
   assert_explained(true, "ipv4:1.2.3.4:5: Peer name a is not in peer certificate",
                    "--tls-server-name");
   assert_explained(true, "SSL routines::wrong version number", "does not speak TLS");
   assert_explained(true, "ipv4:1.2.3.4:5: Endpoint read failed", "require a certificate");
   assert_explained(true, "empty address list: ", "cannot be used");
   assert_explained(false, "ipv4:1.2.3.4:5: Socket closed", "may want TLS");
}

static void other_failures_are_not_put_down_to_tls(void **state)
{
   (void)state;
   assert_explained(true, "Failed to connect to remote host: Connection refused", NULL);
   assert_explained(false, "Failed to connect to remote host: Connection refused", NULL);
   assert_explained(false, "", NULL);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(texts_of_grpc_and_of_both_tls_libraries_are_understood),
       cmocka_unit_test(other_failures_are_not_put_down_to_tls),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}

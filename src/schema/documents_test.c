/* documents_test.c - pools, volumes and networks as libvirt's clients write them, and what is wrong with some. */
#include <string.h>

#include "base/error.h"
#include "schema/network.h"
#include "schema/storage.h"

static const struct {
    const RecordType *type;
    const char *text;
} whole[] = {
    { &pool_type,
      "<pool type='dir'>\n  <name>default</name>\n  <uuid>5ed9631a-e07a-47ed-9140-631a3979af6b</uuid>\n  <capacity unit='bytes'>10</capacity>\n"
      "  <source>\n    <device path='/dev/sdb'/>\n  </source>\n  <target>\n    <path>/var/lib/images</path>\n    <permissions>\n      <mode>0711</mode>\n"
      "      <owner>0</owner>\n    </permissions>\n  </target>\n</pool>\n" },
    { &volume_type,
      "<volume type='file'>\n  <name>a.qcow2</name>\n  <key>/var/lib/images/a.qcow2</key>\n  <capacity unit='bytes'>1073741824</capacity>\n"
      "  <allocation unit='bytes'>200704</allocation>\n  <target>\n    <path>/var/lib/images/a.qcow2</path>\n    <format type='qcow2'/>\n    <compat>1.1</compat>\n"
      "    <clusterSize unit='b'>65536</clusterSize>\n    <features>\n      <lazy_refcounts/>\n    </features>\n  </target>\n  <backingStore>\n"
      "    <path>/base</path>\n    <format type='raw'/>\n  </backingStore>\n</volume>\n" },
    { &secret_type,
      "<secret ephemeral='no' private='yes'>\n  <uuid>5ed9631a-e07a-47ed-9140-631a3979af6b</uuid>\n  <description>of a disk</description>\n  <usage type='volume'>\n"
      "    <volume>/var/lib/images/a.luks</volume>\n  </usage>\n</secret>\n" },
    { &network_type,
      "<network>\n  <name>default</name>\n  <uuid>5ed9631a-e07a-47ed-9140-631a3979af6b</uuid>\n  <forward mode='nat'>\n    <nat>\n"
      "      <port start='1024' end='65535'/>\n    </nat>\n    <portForward protocol='tcp' port='2222' to='192.168.122.10' toPort='22'/>\n  </forward>\n"
      "  <bridge name='virbr0' stp='on' delay='0'/>\n  <mac address='52:54:00:01:02:03'/>\n  <domain name='lan'/>\n  <dns>\n    <host ip='192.168.122.2'>\n"
      "      <hostname>a</hostname>\n      <hostname>b</hostname>\n    </host>\n  </dns>\n  <ip address='192.168.122.1' netmask='255.255.255.0'>\n    <dhcp>\n"
      "      <range start='192.168.122.2' end='192.168.122.254'/>\n      <host mac='52:54:00:aa:bb:cc' name='web' ip='192.168.122.10'/>\n    </dhcp>\n  </ip>\n"
      "</network>\n" },
};

static void test_round_trip(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(whole); i++) {
        g_autoptr(GError) err = NULL;
        g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
        void *record = record_read_xml(whole[i].type, whole[i].text, 0, warnings, &err);
        g_assert_no_error(err);
        g_assert_cmpuint(warnings->len, ==, 0);
        g_autofree char *xml = record_write_xml(record, 0);
        g_assert_cmpstr(xml, ==, whole[i].text);
        record_free(record);
    }
}

static const struct {
    const RecordType *type;
    const char *text, *error;
} wrong[] = {
    { &pool_type, "<pool type='dir'><name>../x</name><target><path>/a</path></target></pool>", "no name here" },
    { &pool_type, "<pool type='dir'><name>x</name></pool>", "needs target/path" },
    { &pool_type, "<pool type='dir'><name>x</name><target><path>a</path></target></pool>", "not an absolute path" },
    { &pool_type, "<pool type='dri'><name>x</name><target><path>/a</path></target></pool>", "did you mean 'dir'" },
    { &pool_type, "<pool type='dir'><name>x</name><target><path>/a</path><permissions><mode>9</mode></permissions></target></pool>", "octal digits" },
    { &volume_type, "<volume><name>a/b</name><capacity>1</capacity></volume>", "no name here" },
    { &volume_type, "<volume><name>a</name><capacity unit='EB'>999</capacity></volume>", "too large" },
    { &network_type, "<network><name>n</name><forward/></network>", "NAT needs an <ip" },
    { &network_type, "<network><name>n</name><bridge name='a/b'/></network>", "no name of an interface" },
    { &network_type, "<network><name>n\n*</name></network>", "no name in DNS" },
    { &network_type, "<network><name>n</name><ip address='1.2.3'/></network>", "not an IP address" },
    { &network_type, "<network><name>n</name><forward mode='bridge'/><ip address='1.2.3.4'/></network>", "leave <ip> out" },
    { &network_type, "<network><name>n</name><ip address='1.2.3.4'><dhcp><host ip='1.2.3.5'/></dhcp></ip></network>", "whose is it" },
    { &network_type, "<network><name>n</name><dns><host ip='1.2.3.4'><hostname>a</hostname></host></dns><forward mode='nat'/></network>", "NAT needs" },
};

static void test_wrong(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_null(record_read_xml(wrong[i].type, wrong[i].text, 0, NULL, &err));
        if (!err || !strstr(err->message, wrong[i].error))
            g_error("%s: \"%s\", not \"%s\"", wrong[i].text, err ? err->message : "no error", wrong[i].error);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/documents/round-trip", test_round_trip);
    g_test_add_func("/documents/wrong", test_wrong);
    return g_test_run();
}

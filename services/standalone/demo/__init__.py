"""The whole story on real traffic: two VPCs with the same addresses, an approval, a rejection, a crash, a replay."""

                s0 += *from * weight[0];
                s1 += *from * weight[1];
                s2 += *from * weight[2];
                s3 += *from * weight[3];
